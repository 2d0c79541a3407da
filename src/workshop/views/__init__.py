"""Pictures and panels from recorded data. Each view also prints as text and is readable without a kernel."""
