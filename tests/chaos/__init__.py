"""Faults from outside: processes killed, links cut, servers stopped; and a checker of what is left afterwards."""
