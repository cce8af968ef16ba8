"""The whole platform on one machine: real PostgreSQL and RabbitMQ servers, the provider sandbox, the services, and the
supervisor that keeps them running. For development, trials and tests; production runs the services by other means."""
