-- Asks to fill the part, or to go on with it. Answers "whole" if there is nothing
-- to do, "taken" while another does it, and else "yours", the rev and the place
-- where to go on. The claim stands in the part, and is lost with it. Redis' clock
-- only keeps two from doing the same work; nothing else rests on it.
--   ARGV[4]  who asks
--   ARGV[5]  for how many milliseconds the claim is to hold
--   ARGV[6]  the place up to which it has filled the part; empty if it begins
--   ARGV[7]  1 if that is all
--   ARGV[8]  a place after which something is missing; empty if nothing is known to be
local has = redis.call('HMGET', KEYS[1], 'whole', 'filler', 'until', 'place')
local function at(place) return tonumber(string.match(place or '', '^%d+')) or 0 end
if ARGV[8] ~= '' and (has[1] or at(has[4]) > at(ARGV[8])) then
  redis.call('HDEL', KEYS[1], 'whole')
  has = { nil, nil, nil, ARGV[8] }
end
if has[1] then
  return { 'whole' }
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if has[2] and has[2] ~= ARGV[4] and tonumber(has[3]) > now then
  return { 'taken' }
end
if has[2] == ARGV[4] and ARGV[7] == '1' then
  redis.call('HSET', KEYS[1], 'whole', '1')
  redis.call('HDEL', KEYS[1], 'filler', 'until', 'place')
  return { 'whole' }
end
local place = has[4] or ''
if has[2] == ARGV[4] and ARGV[6] ~= '' then
  place = ARGV[6]
end
redis.call('HSET', KEYS[1], 'filler', ARGV[4], 'until', string.format('%.0f', now + ARGV[5]), 'place', place)
return { 'yours', rev, place }
