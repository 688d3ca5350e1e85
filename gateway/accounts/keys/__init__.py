"""Keys for callers: made, stored as hashes, limited, and known to each process without a look-up in the database."""
