"""Access to the service: keys and scopes, web pages of other origins, and rate limits."""
