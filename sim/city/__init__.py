"""A synthetic city, seeded and streaming: streets, cameras, people, what boxes hold of them."""
