"""The routes of webhooks: the push hooks of projects, and the pushes that come to them."""
