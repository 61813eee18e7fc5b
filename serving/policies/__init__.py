"""The rules that remove or price actions, one family a module."""
