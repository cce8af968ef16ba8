"""ShopFlow: accounts, orders with an auditable life cycle, e-mail and SMS to the customer."""

__version__ = "0.1.0"
