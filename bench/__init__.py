"""Measures ShopFlow beside its targets. Run as `python -m bench.quick`; nothing in `src/` imports this."""
