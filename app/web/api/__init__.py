"""What people and programs call: the HTTP API, and our voices for others."""
