"""What commands print: tables and sentences for people; JSON is printed by the commands themselves."""
