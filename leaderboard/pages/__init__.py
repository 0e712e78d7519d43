"""The pages; ``leaderboard/app.py`` lists them."""
