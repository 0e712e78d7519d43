"""The Streamlit leaderboard. Reads records; nothing of the harness needs it."""
