"""Files that belong to this user alone: databases and the secrets beside them, checked before they are opened."""
