"""Attacks a platform that somebody started with `make up`: `python -m tests.attack`. No test client, no code of ours.

It talks over plain sockets, as an outsider does; what it knows beyond that it reads from `up.json`, to look afterwards.
"""
