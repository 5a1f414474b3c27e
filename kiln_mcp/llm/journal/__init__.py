"""The journal of all calls: response cache and account of costs."""
