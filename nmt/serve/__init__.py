"""The server: LibreTranslate's API over model folders. Requests that are there together are searched together."""
