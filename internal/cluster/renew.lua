-- A node says that it is there and how far it has applied, and learns what it
-- must have applied for its lease to count.
--   KEYS[2]  the log of the epoch
--   KEYS[3]  the acks to this node, kept while it renews
--   ARGV[3]  the node
--   ARGV[4]  how many renewals it has sent, this one included
--   ARGV[5]  the number of the last message that it has applied
--   ARGV[6]  the number after which it has applied every one up to that
--   ARGV[7]  1 if it has found the epoch settled, which then holds for all
--   ARGV[8…] members whose lease has run out, each with its last renewal
local field = 'n:' .. ARGV[3]
local before = string.match(redis.call('HGET', KEYS[1], field) or '0', '^%d+')
-- A renewal that was held up on its way must not take back a later one.
if tonumber(before) < tonumber(ARGV[4]) then
  redis.call('HSET', KEYS[1], field, ARGV[4] .. ' ' .. ARGV[5] .. ' ' .. ARGV[6])
end
if ARGV[7] == '1' then
  redis.call('HSET', KEYS[1], 'settled', '1')
end
redis.call('PEXPIRE', KEYS[3], 60000)
for i = 8, #ARGV, 2 do
  local gone = 'n:' .. ARGV[i]
  if redis.call('HGET', KEYS[1], gone) == ARGV[i + 1] then
    redis.call('HDEL', KEYS[1], gone)
  end
end
-- Is the next message that it waits for still there?
local out = standing()
local missing = 0
if tonumber(ARGV[5]) < tonumber(out[1]) then
  local id = string.format('%.0f-0', tonumber(ARGV[5]) + 1)
  if #redis.call('XRANGE', KEYS[2], id, id) == 0 then
    missing = 1
  end
end
table.insert(out, 1, missing)
return out
