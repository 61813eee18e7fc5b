"""The server process: worker, background tasks, middleware, OpenAPI, metrics."""
