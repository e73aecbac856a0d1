-- When work on an attempt itself began: members of an array on a processor take their turn, and are `running` before it.
ALTER TABLE attempts ADD COLUMN begun INTEGER;
-- Members of its array that are worked on at a time: (ended - begun) / beside is the time that it had the device.
ALTER TABLE attempts ADD COLUMN beside INTEGER NOT NULL DEFAULT 1;
-- What is known of attempts of before: the array's time, shared alike.
UPDATE attempts SET begun = started, beside = members;
