"""RabbitMQ: what stays connected, what publishes, what consumes. The only package that imports the AMQP library."""
