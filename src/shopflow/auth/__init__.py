"""auth-service: accounts, sign-in, tokens (PRD 2.1)."""
