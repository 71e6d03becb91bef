"""The reference: what can be asked and what is answered, as OpenAPI describes it."""
