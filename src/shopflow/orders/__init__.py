"""order-service: orders and their life cycle (PRD 2.2)."""
