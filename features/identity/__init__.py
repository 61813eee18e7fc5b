"""Who a customer is: keys, links between them, merges and splits; who was forgotten."""
