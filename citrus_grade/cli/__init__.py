"""What people type: one module a verb, each importing its work only when it runs."""
