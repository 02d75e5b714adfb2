"""The scheduler's own HTTP surface: pages, JSON, metrics, introspection."""
