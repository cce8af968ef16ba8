"""What crosses a process boundary, declared once and as pure data."""
