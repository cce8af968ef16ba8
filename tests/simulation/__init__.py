"""Relay and consumer as they are, on simulated wires, in virtual time: each schedule is told by its seed."""
