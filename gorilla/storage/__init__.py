"""SQL lives here and nowhere else: snapshot tables, their schema, the embedded PostgreSQL."""
