"""Making models: labelled batches in, evaluated and hashed bundles out."""
