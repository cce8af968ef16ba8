"""notification-service: e-mail and SMS about orders (PRD 2.3)."""
