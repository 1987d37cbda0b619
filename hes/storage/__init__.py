"""PostgreSQL/TimescaleDB by synchronous psycopg: migrations, one module per aggregate."""
