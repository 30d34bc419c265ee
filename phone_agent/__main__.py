"""`python -m phone_agent`: the same command line as `phone-agent`."""

from app.__main__ import main

if __name__ == "__main__":
    main()
