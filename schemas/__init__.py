"""The contracts of Tolqyn: feeds, topics, values, indicators. Knows nothing of the services that keep them."""
