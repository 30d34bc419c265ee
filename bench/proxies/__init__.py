"""The service behind nginx, HAProxy and Caddy, with the configurations of docs/proxies."""
