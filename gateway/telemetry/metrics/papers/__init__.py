"""What is made from the table of metrics: dashboard, alerts, and the page that lists all of them."""
