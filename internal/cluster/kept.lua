-- The messages that are kept, flat: name, then id, topic and tenant as JSON in one
-- line, and the body. One of them if it is named.
--   ARGV[3]  the name, or nothing: all
if ARGV[3] ~= '' then
  local kept = redis.call('HGET', KEYS[1], 'k:' .. ARGV[3])
  return kept and { ARGV[3], kept } or {}
end
local all = redis.call('HGETALL', KEYS[1])
local out = {}
for i = 1, #all, 2 do
  if string.sub(all[i], 1, 2) == 'k:' then
    out[#out + 1] = string.sub(all[i], 3)
    out[#out + 1] = all[i + 1]
  end
end
return out
