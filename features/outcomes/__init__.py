"""The outcomes of shown actions: which action gets the credit, and the reward."""
