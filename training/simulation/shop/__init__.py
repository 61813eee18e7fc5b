"""A shop without contracts: orders, returns, seasons, and customers who fall silent."""
