"""The yardsticks: what the service is compared with, each in its simplest form."""
