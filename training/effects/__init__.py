"""The effect of showing an action against showing none: on purchases and on leaving."""
