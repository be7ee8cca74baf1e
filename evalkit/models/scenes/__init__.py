"""The built-in family: small text-to-image models trained on scenes drawn by this package."""
