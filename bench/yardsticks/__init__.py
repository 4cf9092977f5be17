"""What the service is compared with, each in its plainest form."""
