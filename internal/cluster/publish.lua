-- Appends a message under the next number and answers it with the members: from
-- here on, whoever renews learns that it must have applied this message, so only
-- the members of this instant need be waited for.
--   KEYS[2]  the log of the epoch
--   ARGV[3]  the publisher
--   ARGV[4…] id, topic, tenant, body
--   ARGV[8]  the name under which it is kept for those who join later, or nothing
if ARGV[8] ~= '' then
  redis.call('HSET', KEYS[1], 'k:' .. ARGV[8], cjson.encode({ ARGV[4], ARGV[5], ARGV[6] }) .. '\n' .. ARGV[7])
end
local seq = redis.call('HINCRBY', KEYS[1], 'seq', 1)
redis.call('XADD', KEYS[2], 'MAXLEN', '~', 100000, string.format('%.0f-0', seq),
  'from', ARGV[3], 'id', ARGV[4], 'topic', ARGV[5], 'tenant', ARGV[6], 'body', ARGV[7])
redis.call('PEXPIRE', KEYS[2], 3600000)
return standing()
