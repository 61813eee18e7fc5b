"""A telephone company: contracts, needs, problems, and customers who get tired of contacts."""
