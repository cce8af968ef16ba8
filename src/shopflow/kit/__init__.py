"""Technique without business: nothing in here knows what an order is."""
