"""Typed HTTP clients of the services for one another."""
