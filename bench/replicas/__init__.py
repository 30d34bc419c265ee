"""Three replicas behind a random proxy, with PostgreSQL and Redis: `python -m bench replicas`."""
