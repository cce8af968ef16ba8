"""Stands in for Amazon SES and Twilio on one machine, and shows what customers received.

Answers as the providers do, fails when asked to, and is never used with `SHOPFLOW_ENV=production`.
"""

from shopflow.local.sandbox.server import opened, serve

__all__ = ["opened", "serve"]
