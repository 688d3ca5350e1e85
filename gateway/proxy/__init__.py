"""One request's life: where it goes, how often it is tried, and from when on nobody else can take over."""
