-- Puts sessions in that SQL called live after the part had this rev: whoever has
-- ended sessions since then has changed it. Answers whether they are in.
--   ARGV[4]  the rev
--   ARGV[5…] token hash and session, one after the other
if rev ~= ARGV[4] then
  return 0
end
redis.call('HSET', KEYS[1], unpack(ARGV, 5))
return 1
